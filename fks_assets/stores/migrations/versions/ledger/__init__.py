"""The statements of revision 0005."""
