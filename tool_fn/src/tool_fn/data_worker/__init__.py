"""What the data_analysis tool does with pandas. All but `request` runs in a worker: importing it loads pandas."""
