/* Owns the form of the numbers: 1024 bits as 16 words of 64, the least significant word first. */
#ifndef THINGMINT_IFMA_NUMBERS_H
#define THINGMINT_IFMA_NUMBERS_H

#include <stdint.h>

#define BITS 1024
#define WORDS 16
#define BYTES 128
/* How many exponentiations the library carries out at the same time. */
#define LANES 8

#endif
