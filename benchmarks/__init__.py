"""What is measured, against whom; results are kept with date and machine. Nothing here is a test."""
