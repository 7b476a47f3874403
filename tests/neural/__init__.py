"""The networks, on made-up rows; without the extra ``torch`` these tests say that they were skipped."""
