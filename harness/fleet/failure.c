// SPDX-License-Identifier: GPL-2.0-only
/* How a program of a fleet says what went wrong. */

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fleet.h"

void print_failure(const char *what, int error, int agent)
{
	printf("{\"event\":\"error\",\"what\":\"%s\",\"errno\":%d,\"error\":\"%s\",\"agent\":%d}\n", what, error,
	       error ? strerror(error) : "", agent);
	fflush(stdout);
}

_Noreturn void fail(int code, const char *what, int error)
{
	print_failure(what, error, -1);
	_exit(code);
}
