"""The capabilities of an environment, one file each: what it is asked for in, what others need of it out."""
