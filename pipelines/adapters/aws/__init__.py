"""The profile on AWS: S3, Glue, DynamoDB, EventBridge with SQS, KMS and SageMaker; or an emulator of them."""
