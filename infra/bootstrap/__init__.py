"""The bootstrap: what an administrator sets up once in an account, such as state, images, roles and GitHub."""
