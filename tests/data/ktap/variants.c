// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
#include "kselftest_harness.h"

FIXTURE(pair) { int a; };
FIXTURE_VARIANT(pair) { int a; };
FIXTURE_VARIANT_ADD(pair, small) { .a = 1 };
FIXTURE_VARIANT_ADD(pair, large) { .a = 100 };
FIXTURE_SETUP(pair) { self->a = variant->a; }
FIXTURE_TEARDOWN(pair) { }
TEST_F(pair, is_small) { EXPECT_EQ(self->a, 1); }
TEST_F(pair, is_positive) { EXPECT_GT(self->a, 0); }
FIXTURE(plain) { int a; };
FIXTURE_SETUP(plain) { }
FIXTURE_TEARDOWN(plain) { }
TEST_F(plain, skips) { SKIP(return, "no %s here", "node"); }
TEST_F_TIMEOUT(plain, times_out, 1) { sleep(3); }
TEST(alone) { printf("said in between\n"); ASSERT_STREQ("one", "one"); }
TEST_SIGNAL(dies, SIGABRT) { abort(); }
TEST(dies_unexpectedly) { raise(SIGSEGV); }
TEST(kills_the_program) { if (getenv("CRASH")) kill(getppid(), SIGKILL); }
TEST_HARNESS_MAIN
