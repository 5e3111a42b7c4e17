"""Amazon Web Services, through boto3, which is only needed by those who use them."""
