# What the gate `conftest` of the end-to-end tests asks of a manifest.
package main

deny contains message if {
	input.kind == "Manifest"
	days := object.get(input, ["governance", "data_retention_days"], 0)
	days < 365
	message := sprintf("data is kept for %d days, 365 are required", [days])
}

deny contains message if {
	input.kind == "Manifest"
	not contains(object.get(input, ["metadata", "owner"], ""), "@")
	message := "metadata.owner must be a mail address"
}
