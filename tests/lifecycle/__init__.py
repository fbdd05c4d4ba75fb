"""The lifecycle scripts, run in a sandbox, and the CloudFormation stack, checked without AWS."""
