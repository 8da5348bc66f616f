"""What is done with an environment beside Terraform: Helm values, cluster add-ons, costs."""
