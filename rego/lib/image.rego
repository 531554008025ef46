# METADATA
# scope: package
# title: What an image is
# description: "Readings of input.artifact in which a field that nobody could give counts as the worst case."
package bondgate.lib.image

# A runnable image: not an index, whose children are judged when they are pulled,
# and not evidence about an image.
runnable if {
	input.artifact.role == "image"
	input.artifact.kind != "index"
}

# Evidence about an artifact. The role follows from the layers alone.
accessory if input.artifact.role in {"signature", "attestation", "sbom", "vex"}

# The user that the image runs as, without its group; "" when it names none.
user := split(input.artifact.config.user, ":")[0]

# The user as the configuration has it, for a message.
default user_shown := ""

user_shown := input.artifact.config.user

# An image runs as root unless its configuration names somebody else. "00", "+0"
# and "-0" are read as the number 0 by those who start it.
default runs_as_root := true

runs_as_root := false if {
	trim_left(user, "+-0") != ""
	lower(trim_space(user)) != "root"
}

# The value of a label; undefined when the image has none.
label(name) := input.artifact.config.labels[name]
