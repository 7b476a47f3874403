"""Two tiny problems on the same made-up parcels, so that the engine is tested on what is not flights.

``late`` asks whether a parcel takes more than an hour (classification), ``minutes`` how long it takes (regression).
"""
