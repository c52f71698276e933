select * from {{ ref('balance') }} where difference <> 0
