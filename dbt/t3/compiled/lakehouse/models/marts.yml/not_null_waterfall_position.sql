
    
    



select position
from "y"."stats"."waterfall"
where position is null


