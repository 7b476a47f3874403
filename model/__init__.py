"""The problem: will a flight leaving New York arrive more than 15 minutes late, asked two hours before departure?

Owned by data scientists. Replace this folder and the rest of the repository works on another problem.
"""
