"""The service: verified bundles in, log-densities, decisions and samples out. No torch."""
