"""The jitted loop of descriptor matching: the two nearest image descriptors of each query descriptor."""

from metricsearch.accelerate import fast_kernel


@fast_kernel
def two_nearest(query, image, zero, infinity, nearest, first, second):
    """Nearest image descriptor of each query descriptor, and the squared distances of the two nearest.

    Ties: the lower index is nearer. Sums of whole numbers are exact in any order while they stay below 2^24 (float32).
    query : (n, d)     image : (m, d), same dtype, float32 or float64     zero, infinity : scalars of that dtype
    nearest (int64), first, second : (n,), written; with m = 1 second is infinity
    """
    n = query.shape[0]
    m, d = image.shape
    for i in range(0, n, 2):  # two rows at a time use each image descriptor twice; an odd last row goes with itself
        other = min(i + 1, n - 1)
        row_a, row_b = query[i], query[other]
        first_a, second_a, place_a = infinity, infinity, 0
        first_b, second_b, place_b = infinity, infinity, 0
        for j in range(m):
            column = image[j]
            sum_a, sum_b = zero, zero
            for k in range(d):
                difference_a = row_a[k] - column[k]
                difference_b = row_b[k] - column[k]
                sum_a += difference_a * difference_a
                sum_b += difference_b * difference_b
            if sum_a < second_a:
                if sum_a < first_a:
                    first_a, second_a, place_a = sum_a, first_a, j
                else:
                    second_a = sum_a
            if sum_b < second_b:
                if sum_b < first_b:
                    first_b, second_b, place_b = sum_b, first_b, j
                else:
                    second_b = sum_b
        nearest[i], first[i], second[i] = place_a, first_a, second_a
        nearest[other], first[other], second[other] = place_b, first_b, second_b
