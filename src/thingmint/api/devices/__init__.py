"""The operations on connected devices and their messages (the data plane of AWS IoT)."""
