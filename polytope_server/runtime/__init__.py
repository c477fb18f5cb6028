"""What every process needs: start and end, log, management port, data folder, outages and waits."""
