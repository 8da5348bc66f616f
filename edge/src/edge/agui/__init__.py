"""AG-UI 1.0: runs as front ends follow them (https://docs.ag-ui.com/spec/1.0)."""
