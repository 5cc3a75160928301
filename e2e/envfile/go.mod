module github.com/lanyard-dev/lanyard/e2e/envfile

go 1.26.6

require github.com/lanyard-dev/lanyard v0.0.0

require k8s.io/kubernetes v1.37.2

replace github.com/lanyard-dev/lanyard => ../..
