"""Contrastive model of moving pictures, their sound and its description."""
