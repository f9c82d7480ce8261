"""The processes: one thin ``main()`` each."""
