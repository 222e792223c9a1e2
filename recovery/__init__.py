"""What is to be done after an update was cut short: ``make recover STACK=prod``.

A killed Pulumi leaves its lock, its plugins, and notes of what it was creating at that moment,
which is in no state and which it would never look for. All of that is found and removed here, on
whatever backend the stack has, and then the update is made again.

Deliberately knows neither the lab nor the program: only what the state and its notes say.
"""
