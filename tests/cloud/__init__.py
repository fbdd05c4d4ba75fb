"""gan-lib cloud against moto, a stand-in for AWS that speaks its protocols on loopback."""
