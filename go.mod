module github.com/lanyard-dev/lanyard

go 1.26.0
