"""The contract tests of every interface, for the back-ends here and for those of plug-in authors."""
