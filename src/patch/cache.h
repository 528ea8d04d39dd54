/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * cache.h - what was found in large objects, kept by build-id
 *
 * A file of fixed records, $XDG_CACHE_HOME/scilan/code or ~/.cache/scilan/code, written by appending whole
 * records. It is believed only if it is a plain file of ours that nobody else can write. Whatever goes
 * wrong, the object is simply looked at again. The directory above scilan/ is not made.
 */
#ifndef SL_CACHE_H
#define SL_CACHE_H

#include "scan.h"

/** sl_cache_init() - note where it is: programs change their environment */
void sl_cache_init(void);

/** sl_cache_find() - what is known of @im. Return: false, nothing. */
bool sl_cache_find(const struct sl_image *im, struct sl_scan *out);

/** sl_cache_add() - remember it; does nothing for what has no build-id */
void sl_cache_add(const struct sl_image *im, const struct sl_scan *scan);

#endif
