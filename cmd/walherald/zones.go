package main

// Quiet hours of the notifier have a time zone, and the image has no files of
// them; nor has every system (https://www.iana.org/time-zones).
import _ "time/tzdata"
