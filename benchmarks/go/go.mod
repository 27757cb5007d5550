module ringpool/benchmarks/go

go 1.19
