"""The model store, the release log, scoring with ONNX Runtime, and the record in MLflow."""
