package main

import "context"

func memory(ctx context.Context, o options) error { return nil }
