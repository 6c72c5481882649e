"""What breaks around the pipeline, done for real: processes killed, files damaged, disks full, databases held, services gone."""
