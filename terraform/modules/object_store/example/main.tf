module "documents" {
  source = "../"

  bucket          = "dormouse-prod-documents-123456789012"
  kms_key_arn     = "arn:aws:kms:us-east-1:123456789012:key/00000000-0000-0000-0000-000000000000"
  noncurrent_days = 90
}
