"""Functions without parameters: attention backends, fused kernels, patches, windows, spectra, resizing."""
