"""gan-lib cloud: the four configurations on SageMaker, with a plan, a price and an automatic stop."""
