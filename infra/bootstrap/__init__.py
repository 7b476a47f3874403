"""What an administrator sets up once an account: state, images, the roles of workflows and people, the GitHub side."""
