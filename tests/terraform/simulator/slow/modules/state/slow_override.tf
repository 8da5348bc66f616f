# The provider watches a bucket's lifecycle for a minute before it believes it.
resource "aws_s3_bucket_lifecycle_configuration" "this" {
  count = 0
}
