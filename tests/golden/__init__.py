"""Golden configuration: what a trunkline.yaml becomes in Envoy and in the translator, to be read in a review.

`<case>.yaml` goes the real way (loader, Apply, store, builder); `<case>.envoy.yaml` beside it is the result.
`make golden` renews the results.
"""
