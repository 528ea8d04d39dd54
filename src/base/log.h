/* SPDX-License-Identifier: BSD-2-Clause */
/* log.h - one line on standard error, "scilan: ..." */
#ifndef SL_LOG_H
#define SL_LOG_H

/**
 * sl_log() - write one line to standard error, in one write
 *
 * Neither stdio nor malloc: usable in constructors, after fork and between locks. errno is kept.
 */
void sl_log(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

#endif
