output "vpc_id" {
  description = "The VPC."
  value       = aws_vpc.this.id
}

output "cidr" {
  description = "The VPC's addresses."
  value       = aws_vpc.this.cidr_block
}

output "zones" {
  description = "Names of the zones."
  value       = local.zones
}

output "private_subnet_ids" {
  description = "One private subnet a zone, in the zones' order."
  value       = [for zone in local.zones : aws_subnet.private[zone].id]
}

output "public_subnet_ids" {
  description = "One public subnet a zone, in the zones' order."
  value       = [for zone in local.zones : aws_subnet.public[zone].id]
}

output "nat_addresses" {
  description = "The addresses from which the environment calls others, for their allow lists."
  value       = [for address in aws_eip.nat : address.public_ip]
}
