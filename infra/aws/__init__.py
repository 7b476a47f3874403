"""An environment on AWS: its components, permissions, configuration, and the document that pipelines read."""
