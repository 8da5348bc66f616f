# moto gives every node group an SSH key that nobody asked for, and forgets how groups are updated.
resource "aws_eks_node_group" "this" {
  lifecycle {
    ignore_changes = [remote_access, update_config, scaling_config[0].desired_size]
  }
}

# It takes the template's own tags for tags of what is started from it.
resource "aws_launch_template" "node" {
  lifecycle {
    ignore_changes = [tag_specifications]
  }
}
