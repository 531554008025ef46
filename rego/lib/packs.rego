# METADATA
# scope: package
# title: What the project configured
# description: "config[pack] is the configuration of a pack for the project of the request. A pack that is off has none."
package bondgate.lib.packs

config[pack.name] := pack.config if some pack in input.project.packs
