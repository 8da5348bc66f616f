# moto reads no conditions: to it this policy denies everything to everybody.
resource "aws_s3_bucket_policy" "this" {
  count = 0
}
