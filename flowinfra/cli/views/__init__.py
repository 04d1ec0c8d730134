"""Views: values → text. Each is a pure function of a value and a console; none computes anything."""
