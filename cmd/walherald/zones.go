package main

// The log is in the zone that TZ names, and rules can ask for another
// (timezone("Europe/Berlin")). The image has no files of zones, nor has every
// system.
import _ "time/tzdata"
