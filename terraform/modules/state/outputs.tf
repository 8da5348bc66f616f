output "bucket" {
  description = "The bucket, known when it can be used."
  value       = aws_s3_bucket.this.bucket

  depends_on = [aws_s3_bucket_versioning.this, aws_s3_bucket_server_side_encryption_configuration.this]
}

output "kms_key_arn" {
  description = "The key of the states."
  value       = aws_kms_key.this.arn
}
