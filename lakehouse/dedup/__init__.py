from lakehouse.dedup.exact import copies, exact_duplicates

__all__ = ["copies", "exact_duplicates"]
