"""What `bench/analysis.py` needs: a chart."""
