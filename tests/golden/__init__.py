"""Golden configuration: what Envoy and the translator get for a trunkline.yaml, for reviewers to read.

`<case>.yaml` takes the real way (loader, Apply, store, builder); `<case>.envoy.yaml` next to it is the result.
`make golden` renews the results.
"""
