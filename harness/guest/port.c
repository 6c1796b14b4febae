// SPDX-License-Identifier: GPL-2.0-only
/* The control channel's frames over a virtio-serial port. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "guest.h"

#define PORTS "/sys/class/virtio-ports"

int port = -1;

/* There is no udev that would make /dev/virtio-ports/NAME: sysfs knows the names. */
static bool device_of(const char *name, char *device, size_t size)
{
	struct dirent *entry;
	bool found = false;
	DIR *ports = opendir(PORTS);

	if (!ports)
		return false;
	while (!found && (entry = readdir(ports))) {
		char path[300], actual[64] = "";
		FILE *file;

		snprintf(path, sizeof(path), PORTS "/%s/name", entry->d_name);
		file = fopen(path, "re");
		if (!file)
			continue;
		if (fgets(actual, sizeof(actual), file)) {
			actual[strcspn(actual, "\n")] = 0;
			found = !strcmp(actual, name);
			snprintf(device, size, "/dev/%s", entry->d_name);
		}
		fclose(file);
	}
	closedir(ports);
	return found;
}

bool port_open(void)
{
	char device[300];

	/* The driver makes ports from a work queue, which may come after the first process. */
	for (int tries = 0; tries < 1000; tries++, usleep(10000)) {
		if (!device_of(PORT, device, sizeof(device)))
			continue;
		port = open(device, O_RDWR | O_NONBLOCK | O_CLOEXEC);
		if (port >= 0)
			return true;
	}
	return false;
}

static void write_all(const void *bytes, size_t length)
{
	const char *at = bytes;

	while (length) {
		ssize_t done = write(port, at, length);

		if (done > 0) {
			at += done;
			length -= (size_t)done;
		} else if (done < 0 && errno == EAGAIN) {
			poll(&(struct pollfd){ .fd = port, .events = POLLOUT }, 1, -1);
		} else if (done < 0 && errno != EINTR) {
			die("write to the control port");
		}
	}
}

void port_send(uint32_t type, uint32_t session, const void *bytes, size_t length)
{
	static uint8_t whole[sizeof(struct frame) + FRAME_MAX]; /* one write, so one exit to the host */
	struct frame frame = {
		.magic = MAGIC, .type = (uint16_t)type, .session = session, .length = (uint32_t)length
	};

	memcpy(whole, &frame, sizeof(frame));
	if (length)
		memcpy(whole + sizeof(frame), bytes, length);
	write_all(whole, sizeof(frame) + length);
}

void port_receive(void)
{
	static uint8_t buffer[2 * (sizeof(struct frame) + FRAME_MAX)];
	static size_t filled;
	size_t at = 0;
	ssize_t got = read(port, buffer + filled, sizeof(buffer) - filled);

	if (got < 0 && errno != EAGAIN && errno != EINTR)
		die("read from the control port");
	if (got <= 0)
		return;
	filled += (size_t)got;
	while (filled - at >= sizeof(struct frame)) {
		struct frame frame;

		memcpy(&frame, buffer + at, sizeof(frame));
		if (frame.magic != MAGIC || frame.length > FRAME_MAX)
			die("a frame of the control port");
		if (filled - at < sizeof(frame) + frame.length)
			break;
		session_frame(frame.type, frame.session, buffer + at + sizeof(frame), frame.length);
		at += sizeof(frame) + frame.length;
	}
	memmove(buffer, buffer + at, filled - at);
	filled -= at;
}
